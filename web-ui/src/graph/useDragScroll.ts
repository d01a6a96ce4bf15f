/** Scrolling by dragging with a mouse; fingers scroll by themselves. */
import { type RefObject, useEffect } from "react";

/** Less than this is a click. */
const DRAG_PX_MIN = 4;

export function useDragScroll(ref: RefObject<HTMLElement | null>): void {
  useEffect(() => {
    const element = ref.current;
    if (element === null) return undefined;
    let start: { x: number; y: number; left: number; top: number } | null = null;
    let dragged = false;

    const down = (event: PointerEvent) => {
      if (event.pointerType !== "mouse" || event.button !== 0) return;
      start = { x: event.clientX, y: event.clientY, left: element.scrollLeft, top: element.scrollTop };
      dragged = false;
    };
    const move = (event: PointerEvent) => {
      if (start === null) return;
      const [dx, dy] = [event.clientX - start.x, event.clientY - start.y];
      dragged ||= Math.hypot(dx, dy) >= DRAG_PX_MIN;
      if (dragged) element.scrollTo(start.left - dx, start.top - dy);
    };
    const up = () => {
      start = null;
    };
    // What ends a drag over a vertex does not select it.
    const click = (event: MouseEvent) => {
      if (dragged) event.stopPropagation();
      dragged = false;
    };
    element.addEventListener("pointerdown", down);
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", up);
    element.addEventListener("click", click, { capture: true });
    return () => {
      element.removeEventListener("pointerdown", down);
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", up);
      element.removeEventListener("click", click, { capture: true });
    };
  }, [ref]);
}
