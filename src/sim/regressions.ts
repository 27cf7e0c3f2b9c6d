/**
 * Seeds that have shown a bug, and what it was. A seed says the same only as long as the simulation draws the same
 * numbers from it: when the repertoire grows, these go on as ordinary seeds. What they have found has tests of its
 * own beside the code.
 */

interface Regression {
  seed: number;
  story: string;
  /** After how many the faults end, if not after the usual 10,000. */
  steps?: number;
}

export const regressions: Record<"core" | "replica", Regression[]> = {
  core: [
    { seed: 326, story: "a removed leader with a longer log, which nobody could be elected against" },
    { seed: 405, story: "the same with a demoted one" },
    { seed: 427, story: "a restart with more applied than the flushed hard state had committed" },
  ],
  replica: [
    { seed: 13, story: "what was left of a torn batch was taken for damage, once the log had gone on" },
    { seed: 51, story: "a snapshot whose notes filled a chunk came without rows" },
    { seed: 856, story: "a compaction that waited behind a snapshot took the log's beginning back" },
    { seed: 589, story: "after a power cut the vote of a node was needed whose removal had been confirmed" },
    { seed: 711, story: "the same with the only voter of before, which had lost its copy" },
    {
      seed: 184,
      story: "a file of the log that was used again got its old name back, with the new beginning",
    },
    { seed: 1880, story: "a disk that was full as the log began behind a snapshot ended the start" },
    { seed: 36, story: "a late copy of a forwarded write was taken again" },
  ],
};
