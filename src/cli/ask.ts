/** Questions before what can't be undone. */
import { createInterface } from "node:readline/promises";

/** Whether a person at the terminal says yes. Without a terminal nobody can: throws with how to say it otherwise. */
export async function confirmed(question: string, otherwise: string): Promise<boolean> {
  if (!process.stdin.isTTY) throw new Error(otherwise);
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim());
  } finally {
    terminal.close();
  }
}
