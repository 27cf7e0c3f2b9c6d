/** What every benchmark of the datastore can be told: `--quick`, `--seconds`, `--rounds`. */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";

export interface BenchOptions {
  /** Only to see that it works: one short round, less data. */
  quick: boolean;
  seconds: number;
  rounds: number;
}

/** The arguments of this process, or else these. */
export function benchOptions(defaults: { seconds: number; rounds: number }): BenchOptions {
  const { values } = parseArgs({
    options: {
      quick: { type: "boolean", default: false },
      seconds: { type: "string" },
      rounds: { type: "string" },
    },
  });
  const { quick } = values;
  return {
    quick,
    seconds: Number(values.seconds ?? (quick ? 1 : defaults.seconds)),
    rounds: Number(values.rounds ?? (quick ? 1 : defaults.rounds)),
  };
}

/** What else the machine is doing, since numbers of a busy one are worth less. */
export function note(text: string): void {
  const clock = new Date().toISOString().slice(11, 19);
  console.log(`${clock} load ${loadavg()[0]?.toFixed(1)}  ${text}`);
}
