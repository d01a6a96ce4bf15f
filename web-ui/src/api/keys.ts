/** Under which keys answers are cached. */
export const keys = {
  overview: ["overview"] as const,
  config: ["config"] as const,
  jobs: ["jobs"] as const,
  taskManagers: ["taskmanagers"] as const,
  taskManager: (id: string) => ["taskmanager", id] as const,
  members: ["members"] as const,
  bundles: ["bundles"] as const,
  job: (id: string) => ["job", id] as const,
  figures: (id: string) => ["figures", id] as const,
  checkpoints: (id: string) => ["checkpoints", id] as const,
  exceptions: (id: string) => ["exceptions", id] as const,
  /** Anything else, by its path. */
  path: (path: string) => ["path", path] as const,
};
