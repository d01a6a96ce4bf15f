/** Every shape of the REST API and of the events, in one place. */
export type * from "./types/bundles";
export type * from "./types/checkpoints";
export type * from "./types/cluster";
export type * from "./types/common";
export type * from "./types/events";
export type * from "./types/jobs";
export type * from "./types/operations";
export type * from "./types/rescales";
export type * from "./types/vertices";
