// The component: the interface `operator` of sdk/wit/millrace.wit.

import host from "millrace:app/host@0.3.0";

import { splitBatch } from "./split.js";

let batchBytes = 0;

export const operator = {
  open(context) {
    const unknown = context.operators.find(({ code }) => code.function !== "split");
    if (unknown) throw `operator '${unknown.uid}': this component has the function 'split', not '${unknown.code.function}'`;
    batchBytes = context.batchBytes;
    return [];
  },

  process(node, _port, batch) {
    splitBatch(Uint8Array.from(batch), batchBytes, (words) => host.emit(node, 0, words));
  },

  poll() {
    throw "this component has no sources";
  },

  timers() {
    throw "this component sets no timers";
  },

  // Nothing is kept between two calls, so there is nothing to do in these.
  turn() {},
  watermark() {},
  preBarrier() {},
  flush() {},
  finish() {},
};
