/** Loads everything that a node runs and ends: what was compiled is kept for the node itself. */
await Promise.all([
  import("./serve.ts"),
  import("./control-plane.ts"),
  import("./worker.ts"),
  import("./clean-up.ts"),
  import("./images.ts"),
  import("#cli/program.ts"),
  import("#lab/program.ts"),
  import("#replica/open-replica.ts"),
]);

export {};
