/** The bundles that are there, newest first. */
import { ActionIcon } from "@mantine/core";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { keys } from "../../api/keys";
import { deleteBundle } from "../../api/operations";
import type { Bundle } from "../../api/types";
import { formatDateTime } from "../../format/times";
import { ConfirmDialog } from "../../ui/ConfirmDialog";
import { Icon } from "../../ui/Icon";
import { runOperation } from "../../ui/operation";

interface BundleListProps {
  bundles: readonly Bundle[];
  chosen: string | null;
  onChoose: (id: string | null) => void;
}

export function BundleList({ bundles, chosen, onChoose }: BundleListProps) {
  const client = useQueryClient();
  const [doomed, setDoomed] = useState<Bundle | null>(null);
  const remove = async (bundle: Bundle) => {
    await runOperation(
      { going: `Deleting ${bundle.name}`, done: `${bundle.name} is deleted`, failed: `${bundle.name} was not deleted` },
      () => deleteBundle(bundle.id),
    );
    if (chosen === bundle.id) onChoose(null);
    await client.invalidateQueries({ queryKey: keys.bundles });
  };
  return (
    <>
      <ul className="bundles" aria-label="Bundles">
        {bundles.map((bundle) => (
          <li key={bundle.id} data-testid={`bundle-${bundle.id}`} className={bundle.id === chosen ? "chosen" : ""}>
            <button type="button" className="bundle" aria-pressed={bundle.id === chosen} onClick={() => onChoose(bundle.id)}>
              <strong className="wrap-anywhere">{bundle.name}</strong>
              <span className="dim small">{bundle.entry[0]?.description ?? bundle.entry[0]?.name ?? ""} · {formatDateTime(bundle.uploaded)}</span>
            </button>
            <ActionIcon variant="subtle" color="gray" aria-label={`Delete ${bundle.name}, uploaded ${formatDateTime(bundle.uploaded)}`} onClick={() => setDoomed(bundle)}><Icon name="close" size={14} /></ActionIcon>
          </li>
        ))}
      </ul>
      <ConfirmDialog opened={doomed !== null} onClose={() => setDoomed(null)} title="Delete the bundle?" confirm="Delete the bundle" danger
        onConfirm={() => doomed !== null && void remove(doomed)}>
        <p><strong>{doomed?.name}</strong> can no longer be run. Jobs that run from it go on, and restart if they fail.</p>
      </ConfirmDialog>
    </>
  );
}
