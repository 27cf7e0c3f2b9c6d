/**
 * One nftables table as a value: collections (sets and maps) and chains. Rendering and the difference
 * between two values are pure, so that a change of one endpoint becomes a transaction of a few lines,
 * and any two states can be compared in a test. Knows nothing of Services.
 */
import { assert } from "#base/assert.ts";

/** A set or a map. The elements of a set have empty values; those of a dynamic set live in the kernel only. */
export interface Collection {
  type: "set" | "map";
  /** What stands between the braces of the declaration, such as `type ipv4_addr . inet_service : verdict;`. */
  declaration: string;
  elements: Map<string, string>;
}

export interface Chain {
  /** Of a base chain: `type nat hook output priority -100; policy accept;`. */
  hook?: string;
  rules: string[];
}

export interface Ruleset {
  /** Family and name, such as `ip trivet`. */
  table: string;
  collections: Map<string, Collection>;
  chains: Map<string, Chain>;
}

export function emptyRuleset(table: string): Ruleset {
  return { table, collections: new Map(), chains: new Map() };
}

/** The whole table as one transaction for `nft -f`, which replaces whatever the table held before. */
export function renderRuleset(ruleset: Ruleset): string {
  const { table } = ruleset;
  return [
    `add table ${table}`,
    `delete table ${table}`,
    `add table ${table}`,
    ...changes(emptyRuleset(table), ruleset),
    "",
  ].join("\n");
}

/** The transaction that leads from one ruleset to the next; empty if they are equal. */
export function renderChange(from: Ruleset, to: Ruleset): string {
  assert(from.table === to.table, "a change stays in its table");
  const lines = changes(from, to);
  return lines.length === 0 ? "" : `${lines.join("\n")}\n`;
}

/** In an order that never refers to what does not exist yet, and deletes nothing that is referred to. */
function changes(from: Ruleset, to: Ruleset): string[] {
  const goneChains = [...from.chains.keys()].filter((name) => !to.chains.has(name));
  const goneCollections = [...from.collections.keys()].filter((name) => !to.collections.has(name));
  const { table } = to;
  return [
    ...newCollections(from, to),
    ...newChains(from, to),
    ...changedRules(from, to),
    ...changedElements(from, to),
    ...goneChains.map((name) => `flush chain ${table} ${name}`),
    ...goneChains.map((name) => `delete chain ${table} ${name}`),
    ...goneCollections.map((name) => `delete ${from.collections.get(name)!.type} ${table} ${name}`),
  ];
}

function newCollections(from: Ruleset, to: Ruleset): string[] {
  const lines: string[] = [];
  for (const [name, { type, declaration }] of to.collections) {
    const before = from.collections.get(name);
    assert(before === undefined || before.declaration === declaration, `the declaration of ${name} is fixed`);
    if (before === undefined) lines.push(`add ${type} ${to.table} ${name} { ${declaration} }`);
  }
  return lines;
}

function newChains(from: Ruleset, to: Ruleset): string[] {
  const lines: string[] = [];
  for (const [name, { hook }] of to.chains) {
    const before = from.chains.get(name);
    assert(before === undefined || before.hook === hook, `the hook of chain ${name} is fixed`);
    if (before === undefined) lines.push(`add chain ${to.table} ${name}${hook ? ` { ${hook} }` : ""}`);
  }
  return lines;
}

function changedRules(from: Ruleset, to: Ruleset): string[] {
  const lines: string[] = [];
  for (const [name, { rules }] of to.chains) {
    const before = from.chains.get(name)?.rules ?? [];
    if (before.length === rules.length && before.every((rule, index) => rule === rules[index])) continue;
    if (before.length > 0) lines.push(`flush chain ${to.table} ${name}`);
    for (const rule of rules) lines.push(`add rule ${to.table} ${name} ${rule}`);
  }
  return lines;
}

function changedElements(from: Ruleset, to: Ruleset): string[] {
  const lines: string[] = [];
  for (const [name, collection] of from.collections) {
    // Also those of collections that go: their verdicts would keep chains from being deleted.
    const after = to.collections.get(name)?.elements;
    const gone = [...collection.elements].filter(([key, value]) => after?.get(key) !== value);
    if (gone.length > 0)
      lines.push(`delete element ${to.table} ${name} { ${gone.map(([key]) => key).join(", ")} }`);
  }
  for (const [name, collection] of to.collections) {
    const before = from.collections.get(name)?.elements;
    const fresh = [...collection.elements].filter(([key, value]) => before?.get(key) !== value);
    if (fresh.length > 0) lines.push(`add element ${to.table} ${name} { ${fresh.map(element).join(", ")} }`);
  }
  return lines;
}

function element([key, value]: [string, string]): string {
  return value === "" ? key : `${key} : ${value}`;
}
