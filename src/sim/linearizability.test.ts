import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { findNonLinearizablePart } from "./linearizability.ts";
import type { Model, Operation } from "./linearizability.ts";

const golden = join(import.meta.dirname, "../../../shared/golden/linearizability");
const skip = existsSync(golden) ? false : "../shared/golden/linearizability is absent";

interface RegisterInput {
  function: "read" | "write" | "cas";
  value: number;
  from: number;
}

/** A read's value, or whether a compare-and-set took place. */
type RegisterOutput = number | boolean | undefined;

const nil = -1;

const register: Model<number, RegisterInput, { value: RegisterOutput }> = {
  initial: nil,
  step(state, input, output) {
    if (input.function === "read") return output === undefined || output.value === state ? state : undefined;
    if (input.function === "write") return input.value;
    const matches = state === input.from;
    if (output !== undefined && output.value !== matches) return undefined;
    return matches ? input.value : state;
  },
  key: String,
};

interface KvInput {
  function: "get" | "put" | "append";
  key: string;
  value: string;
}

/** Values grow long, so their hash stands for them. */
interface KvState {
  value: string;
  hash: number;
}

const keyValue: Model<KvState, KvInput, string> = {
  initial: { value: "", hash: 0 },
  step(state, input, output) {
    if (input.function === "get") return output === undefined || output === state.value ? state : undefined;
    const before = input.function === "put" ? { value: "", hash: 0 } : state;
    let { hash } = before;
    for (let position = 0; position < input.value.length; position++) {
      hash = (hash * 31 + input.value.charCodeAt(position)) % 2 ** 45;
    }
    return { value: before.value + input.value, hash };
  },
  key: ({ value, hash }) => `${value.length} ${hash}`,
  part: (input) => input.key,
};

test("golden: jepsen histories of a register", { skip }, () => {
  const expected = readFileSync(join(golden, "expected.txt"), "utf8").trim().split("\n");
  assert.equal(expected.length, 70);
  for (const line of expected) {
    const [file = "", verdict] = line.split(/\s+/);
    const history = parseJepsen(readFileSync(join(golden, "jepsen", file), "utf8"));
    const isLinearizable = findNonLinearizablePart(register, history) === undefined;
    assert.equal(isLinearizable ? "linearizable" : "not-linearizable", verdict, file);
  }
});

test("golden: histories of a key-value store", { skip }, () => {
  for (const file of readdirSync(join(golden, "kv"))) {
    const history = parseKv(readFileSync(join(golden, "kv", file), "utf8"));
    const isLinearizable = findNonLinearizablePart(keyValue, history) === undefined;
    assert.equal(isLinearizable, file.endsWith("-ok.txt"), file);
  }
});

test("an unanswered write may show up late, or never, but not come and go", () => {
  const write: Operation<RegisterInput, { value: RegisterOutput }> = {
    client: 1,
    input: { function: "write", value: 7, from: nil },
    output: undefined,
    callAt: 0,
    returnAt: Infinity,
  };
  const reads = (...values: number[]): (typeof write)[] =>
    values.map((value, position) => ({
      client: 2,
      input: { function: "read", value: nil, from: nil },
      output: { value },
      callAt: 10 * position + 1,
      returnAt: 10 * position + 2,
    }));
  assert.equal(findNonLinearizablePart(register, [write, ...reads(nil, nil)]), undefined);
  assert.equal(findNonLinearizablePart(register, [write, ...reads(nil, 7)]), undefined);
  assert.equal(findNonLinearizablePart(register, [write, ...reads(7, nil)]), "");
});

function parseJepsen(text: string): Operation<RegisterInput, { value: RegisterOutput }>[] {
  const history: Operation<RegisterInput, { value: RegisterOutput }>[] = [];
  const open = new Map<number, (typeof history)[0]>();
  for (const [at, line] of text.split("\n").entries()) {
    const match = /INFO\s+jepsen\.util - (\d+)\s+:(\w+)\s+:(\w+)\s+(.*)$/.exec(line);
    if (match === null) continue;
    const [, process, phase, name, value = ""] = match;
    const client = Number(process);
    const numbers = (value.match(/-?\d+/g) ?? []).map(Number);
    const operation = open.get(client);
    if (phase === "invoke") {
      const input: RegisterInput =
        name === "cas"
          ? { function: "cas", from: numbers[0] ?? nil, value: numbers[1] ?? nil }
          : { function: name === "read" ? "read" : "write", value: numbers[0] ?? nil, from: nil };
      const begun = { client, input, output: undefined, callAt: at, returnAt: Infinity };
      open.set(client, begun);
      history.push(begun);
    } else if (operation !== undefined && phase !== "info") {
      open.delete(client);
      operation.returnAt = at;
      if (operation.input.function === "read" && phase === "fail") {
        // It says nothing about the register.
        operation.returnAt = Infinity;
      } else if (operation.input.function === "read") {
        operation.output = { value: value.trim() === "nil" ? nil : numbers[0] };
      } else {
        operation.output = { value: phase === "ok" };
      }
    }
  }
  return history;
}

function parseKv(text: string): Operation<KvInput, string>[] {
  const history: Operation<KvInput, string>[] = [];
  const open = new Map<number, (typeof history)[0]>();
  for (const [at, line] of text.split("\n").entries()) {
    const match = /:process (\d+), :type :(\w+), :f :(\w+), :key "(.*)", :value (nil|"(.*)")}/.exec(line);
    if (match === null) continue;
    const [, process, phase, name, key = "", , value = ""] = match;
    const client = Number(process);
    if (phase === "invoke") {
      assert.ok(name === "get" || name === "put" || name === "append");
      const begun = {
        client,
        input: { function: name, key, value },
        output: undefined,
        callAt: at,
        returnAt: Infinity,
      };
      open.set(client, begun as (typeof history)[0]);
      history.push(begun as (typeof history)[0]);
    } else {
      const operation = open.get(client);
      assert.ok(operation !== undefined);
      operation.returnAt = at;
      operation.output = value;
    }
  }
  return history;
}
