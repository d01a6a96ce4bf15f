/** A question before something is done, with what will happen. The safe answer has the focus. */
import { Button, Modal } from "@mantine/core";
import type { ReactNode } from "react";

interface ConfirmDialogProps {
  opened: boolean;
  title: string;
  confirm: string;
  danger?: boolean;
  disabled?: boolean;
  onConfirm: () => void;
  onClose: () => void;
  children: ReactNode;
}

export function ConfirmDialog({ opened, title, confirm, danger = false, disabled = false, onConfirm, onClose, children }: ConfirmDialogProps) {
  return (
    <Modal opened={opened} onClose={onClose} title={title} size="md">
      <form
        className="stack"
        onSubmit={(event) => {
          event.preventDefault();
          onConfirm();
          onClose();
        }}
      >
        {children}
        <div className="row" style={{ justifyContent: "flex-end" }}>
          <Button variant="default" onClick={onClose} data-autofocus>Do nothing</Button>
          <Button type="submit" color={danger ? "danger" : "mill"} disabled={disabled}>{confirm}</Button>
        </div>
      </form>
    </Modal>
  );
}
