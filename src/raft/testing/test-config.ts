/** A RaftConfig with generous limits, for tests. */

import type { RaftConfig, RaftStorage } from "../types.ts";

export function testConfig(
  id: number,
  storage: RaftStorage,
  overrides: Partial<RaftConfig> = {},
): RaftConfig {
  return {
    id,
    electionTicks: 3,
    heartbeatTicks: 1,
    storage,
    applied: 0,
    asyncStorageWrites: false,
    maxSizePerMessageBytes: Infinity,
    maxCommittedSizePerReadyBytes: Infinity,
    maxUncommittedBytes: Infinity,
    maxInflightMessages: Infinity,
    maxInflightBytes: Infinity,
    checkQuorum: false,
    preVote: false,
    readOnlyOption: "safe",
    disableProposalForwarding: false,
    disableConfChangeValidation: false,
    stepDownOnRemoval: false,
    randomInteger: () => 0,
    trace: () => {},
    ...overrides,
  };
}
