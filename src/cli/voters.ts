/** `trivet voters`: how many voters the cluster is to have. */
import type { CommandContext } from "./context.ts";
import { callManagement } from "./management-client.ts";
import { readStatus } from "./status.ts";

export async function votersCommand(
  context: CommandContext,
  count: string | undefined,
  flags: { dataDir: string },
): Promise<void> {
  if (count !== undefined)
    await callManagement(flags.dataDir, "POST", "voters", { voters: parseVoters(count) });
  const { members, voterTarget } = (await readStatus(flags.dataDir)).highAvailability;
  const present = members.filter((each) => each.role === "voter").length;
  context.print(
    `${voterTarget} voters are wanted, ${present} of ${members.length} nodes ${present === 1 ? "is one" : "are"}${
      present === voterTarget
        ? ""
        : '; roles follow by themselves as far as there are nodes: see "trivet status"'
    }`,
  );
}

/** Throws for a number that makes no good quorum. */
export function parseVoters(text: string): number {
  const voters = Number(text);
  if (voters !== 3 && voters !== 5 && voters !== 7)
    throw new Error(`a cluster has 3, 5 or 7 voters, not "${text}"`);
  return voters;
}
