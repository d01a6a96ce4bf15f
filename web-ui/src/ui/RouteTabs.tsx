/** Tabs whose choice stands in the route. */
import { Tabs } from "@mantine/core";
import { type ReactNode, useEffect, useRef } from "react";

export interface Tab {
  value: string;
  label: ReactNode;
}

interface RouteTabsProps {
  label: string;
  tabs: readonly Tab[];
  value: string;
  onChange: (value: string) => void;
  /** The panel of the chosen tab. */
  children: ReactNode;
}

export function RouteTabs({ label, tabs, value, onChange, children }: RouteTabsProps) {
  const list = useRef<HTMLDivElement>(null);
  // Where the tabs scroll the chosen one is in sight.
  useEffect(() => {
    const chosen = list.current?.querySelector<HTMLElement>('[aria-selected="true"]');
    if (list.current !== null && chosen !== null && chosen !== undefined) {
      list.current.scrollLeft = chosen.offsetLeft - (list.current.clientWidth - chosen.offsetWidth) / 2;
    }
  }, [value]);
  return (
    <Tabs value={value} onChange={(chosen) => chosen !== null && onChange(chosen)} keepMounted={false} className="tabs">
      <Tabs.List aria-label={label} ref={list}>
        {tabs.map((tab) => (
          <Tabs.Tab key={tab.value} value={tab.value}>{tab.label}</Tabs.Tab>
        ))}
      </Tabs.List>
      {/* A panel for each tab, so that each tab has one to point at. */}
      {tabs.map((tab) => (
        <Tabs.Panel key={tab.value} value={tab.value} tabIndex={-1}>
          {tab.value === value ? children : null}
        </Tabs.Panel>
      ))}
    </Tabs>
  );
}

/** The tab that the route names, or the first. */
export function tabOf(tabs: readonly Tab[], named: string | undefined | null): string {
  return tabs.find((tab) => tab.value === named)?.value ?? tabs[0]?.value ?? "";
}
