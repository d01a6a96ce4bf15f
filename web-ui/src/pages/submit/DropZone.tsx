/** Takes a file that is dropped on it, or chosen. */
import { useRef, useState } from "react";
import { Icon } from "../../ui/Icon";

export function DropZone({ onFile }: { onFile: (file: File) => Promise<boolean> }) {
  const input = useRef<HTMLInputElement>(null);
  const [over, setOver] = useState(false);
  const [busy, setBusy] = useState(false);
  const take = async (file: File | undefined) => {
    if (file === undefined || busy) return;
    setBusy(true);
    await onFile(file);
    setBusy(false);
    if (input.current !== null) input.current.value = "";
  };
  return (
    <div className={`dropzone ${over ? "over" : ""}`} data-testid="drop-zone" aria-busy={busy}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        setOver(false);
        void take(event.dataTransfer.files[0]);
      }}>
      <Icon name="submit" size={22} />
      <strong>{busy ? "Uploading…" : "Drop a bundle here"}</strong>
      <span className="dim small">a .mrb file, or a single Wasm component</span>
      <label className="choose">
        Choose a file
        <input ref={input} className="visually-hidden" type="file" accept=".mrb,.wasm" aria-label="Bundle" disabled={busy} onChange={(event) => void take(event.currentTarget.files?.[0])} />
      </label>
    </div>
  );
}
