/** How one key of the datastore behaves, for the linearizability checker. */

import type { Model } from "./linearizability.ts";

export type StoreInput =
  | { type: "get"; key: string }
  | { type: "put"; key: string; value: string }
  | { type: "delete"; key: string }
  /** Puts `value` if the key has the value `expected` ("": is absent). */
  | { type: "swap"; key: string; expected: string; value: string };

export interface StoreOutput {
  /** get: "" if absent. */
  value?: string;
  /** swap */
  succeeded?: boolean;
}

export const storeModel: Model<string, StoreInput, StoreOutput> = {
  initial: "",
  step(state, input, output) {
    switch (input.type) {
      case "get":
        return output === undefined || output.value === state ? state : undefined;
      case "put":
        return input.value;
      case "delete":
        return "";
      default: {
        const matches = state === input.expected;
        if (output !== undefined && output.succeeded !== matches) return undefined;
        return matches ? input.value : state;
      }
    }
  },
  key: (state) => state,
  part: ({ key }) => key,
};
