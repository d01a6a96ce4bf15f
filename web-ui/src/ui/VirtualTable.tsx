/**
 * A table of which only the rows in sight exist, for lists of any length. Columns are those of a CSS grid, so that a page can
 * lay rows out anew where it is narrow.
 */
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useRef } from "react";
import { Icon } from "./Icon";

export interface Column<Row> {
  key: string;
  label: string;
  /** Sortable columns have a button. */
  sortable?: boolean;
  numeric?: boolean;
  cell: (row: Row) => ReactNode;
}

interface VirtualTableProps<Row> {
  label: string;
  /** The class that has the grid's columns. */
  className: string;
  columns: Column<Row>[];
  rows: readonly Row[];
  rowKey: (row: Row) => string;
  rowHeight: number;
  /** Rows in sight at most. */
  rowsMax?: number;
  sort?: { key: string; descending: boolean };
  onSort?: (key: string) => void;
  testid?: string;
}

export function VirtualTable<Row>(props: VirtualTableProps<Row>) {
  const { label, className, columns, rows, rowKey, rowHeight, rowsMax = 12, sort, onSort, testid } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const virtualizer = useVirtualizer({
    count: rows.length,
    getScrollElement: () => scroller.current,
    estimateSize: () => rowHeight,
    overscan: 6,
    getItemKey: (index) => {
      const row = rows[index];
      return row === undefined ? index : rowKey(row);
    },
  });
  const height = Math.min(rows.length, rowsMax) * rowHeight;
  return (
    <div className={`vtable ${className}`} role="table" aria-label={label} aria-rowcount={rows.length + 1} data-testid={testid}>
      <div role="rowgroup">
        <div role="row" className="vrow vhead" aria-rowindex={1}>
          {columns.map((column) => (
            <HeaderCell key={column.key} column={column} sort={sort} onSort={onSort} />
          ))}
        </div>
      </div>
      <div className="vscroll" role="rowgroup" aria-label={`${label}: rows`} ref={scroller} tabIndex={rows.length > rowsMax ? 0 : -1} style={{ height }}>
        <div role="presentation" style={{ height: virtualizer.getTotalSize(), position: "relative" }}>
          {virtualizer.getVirtualItems().map((item) => {
            const row = rows[item.index];
            return row === undefined ? null : (
              <div key={item.key} role="row" className="vrow" aria-rowindex={item.index + 2}
                style={{ position: "absolute", top: 0, left: 0, right: 0, height: rowHeight, transform: `translateY(${item.start}px)` }}>
                {columns.map((column) => (
                  <div key={column.key} role="cell" className={`vcell col-${column.key} ${column.numeric ? "num" : ""}`}>
                    {column.cell(row)}
                  </div>
                ))}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

interface HeaderCellProps<Row> {
  column: Column<Row>;
  sort: { key: string; descending: boolean } | undefined;
  onSort: ((key: string) => void) | undefined;
}

function HeaderCell<Row>({ column, sort, onSort }: HeaderCellProps<Row>) {
  const sorted = sort?.key === column.key ? (sort.descending ? "descending" : "ascending") : undefined;
  return (
    <div role="columnheader" className={`vcell col-${column.key} ${column.numeric ? "num" : ""}`} aria-sort={column.sortable ? (sorted ?? "none") : undefined}>
      {column.sortable && onSort !== undefined ? (
        <button type="button" className="sortbutton" onClick={() => onSort(column.key)}>
          {column.label} {sorted !== undefined && <Icon name={sorted === "ascending" ? "up" : "down"} size={11} />}
        </button>
      ) : (
        column.label
      )}
    </div>
  );
}
