/**
 * Loads everything that a node runs and ends: what was compiled is kept for the node itself. A file that is
 * missing here costs much: the one that has to be stripped of its types makes Node load its TypeScript parser
 * into that thread, about 20 MB for as long as the node runs.
 */
await Promise.all([
  import("./serve.ts"),
  import("./control-plane.ts"),
  import("./worker.ts"),
  import("./clean-up.ts"),
  import("./images.ts"),
  import("#cli/program.ts"),
  import("#cli/progress.ts"),
  import("#lab/program.ts"),
  // Compiled, and then it refuses to run, since this is no replica's thread.
  import("#replica/thread.ts").catch(() => undefined),
]);

export {};
