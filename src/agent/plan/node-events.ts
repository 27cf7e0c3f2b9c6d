/** What a change of the node's status is told as. */
import type { NodeStatus } from "kubernetes-types/core/v1.js";

export interface NodeEvent {
  type: "Normal" | "Warning";
  reason: string;
  message: string;
}

/** By condition: the reasons for True and for anything else. */
const reasons: Readonly<Record<string, readonly [string, string]>> = {
  MemoryPressure: ["NodeHasInsufficientMemory", "NodeHasSufficientMemory"],
  DiskPressure: ["NodeHasDiskPressure", "NodeHasNoDiskPressure"],
  PIDPressure: ["NodeHasInsufficientPID", "NodeHasSufficientPID"],
  Ready: ["NodeReady", "NodeNotReady"],
};

/** `before`: as the API had it; undefined for a node that is new there. */
export function nodeEvents(nodeName: string, before: NodeStatus | undefined, after: NodeStatus): NodeEvent[] {
  const events: NodeEvent[] = [];
  const { bootID } = after.nodeInfo ?? {};
  const lastBootID = before?.nodeInfo?.bootID ?? "";
  if (lastBootID !== "" && bootID !== undefined && lastBootID !== bootID) {
    const message = `Node ${nodeName} has been rebooted, boot id: ${bootID}`;
    events.push({ type: "Warning", reason: "Rebooted", message });
  }
  for (const { type, status } of after.conditions ?? []) {
    const [whenTrue, otherwise] = reasons[type] ?? [];
    const known = before?.conditions?.find((each) => each.type === type)?.status;
    const reason = status === "True" ? whenTrue : otherwise;
    // A new node that is not ready yet has lost nothing.
    if (reason === undefined || known === status || (known === undefined && reason === "NodeNotReady"))
      continue;
    events.push({ type: "Normal", reason, message: `Node ${nodeName} status is now: ${reason}` });
  }
  return events;
}
