/**
 * Sets of fields in the very form in which managedFields stores them (FieldsV1), so that nothing is
 * encoded or decoded: a node's keys are path elements ("f:name", "k:{…}", "v:…", "i:0"); an empty node
 * is a member without children, "." marks a member that has children. Sets are immutable: operations
 * share subtrees with their operands.
 */

export interface FieldSet {
  readonly [element: string]: FieldSet;
}

type Draft = Record<string, FieldSet>;

export const emptySet: FieldSet = Object.freeze({});

export function isEmpty(set: FieldSet): boolean {
  for (const _element in set) return false;
  return true;
}

/** Whether the node itself is a member of the set (besides what is below it). */
export function isMember(node: FieldSet): boolean {
  return isEmpty(node) || node["."] !== undefined;
}

interface DraftNode {
  member: boolean;
  children: Map<string, DraftNode> | undefined;
}

/** Collects paths; `build` gives the set. */
export class FieldSetBuilder {
  readonly #root: DraftNode = { member: false, children: undefined };

  /** Adds the field at the path; its parents are not added. The whole object (no path) is never a member. */
  add(path: readonly string[]): void {
    if (path.length === 0) return;
    let node = this.#root;
    for (const element of path) {
      node.children ??= new Map();
      let next = node.children.get(element);
      if (next === undefined) node.children.set(element, (next = { member: false, children: undefined }));
      node = next;
    }
    node.member = true;
  }

  build(): FieldSet {
    return buildNode(this.#root);
  }
}

function buildNode({ member, children }: DraftNode): FieldSet {
  if (children === undefined) return emptySet;
  const result: Draft = {};
  if (member) result["."] = emptySet;
  for (const [element, node] of children) result[element] = buildNode(node);
  return result;
}

/** The members of either set. */
export function union(left: FieldSet, right: FieldSet): FieldSet {
  if (left === right || isEmpty(right)) return left;
  if (isEmpty(left)) return right;
  const result: Draft = { ...left };
  for (const element of Object.keys(right)) {
    if (element === ".") continue;
    const other = right[element] as FieldSet;
    const mine = result[element];
    const node =
      mine === undefined
        ? other
        : nodeOf(isMember(mine) || isMember(other), union(childrenOf(mine), childrenOf(other)));
    if (node !== undefined) result[element] = node;
  }
  return result;
}

/** The members of `left` that are not members of `right`. Children of a removed member stay. */
export function difference(left: FieldSet, right: FieldSet): FieldSet {
  if (isEmpty(right)) return left;
  const result: Draft = {};
  for (const element of Object.keys(left)) {
    const mine = left[element] as FieldSet;
    const other = right[element];
    const node =
      other === undefined
        ? mine
        : nodeOf(isMember(mine) && !isMember(other), difference(childrenOf(mine), childrenOf(other)));
    if (node !== undefined) result[element] = node;
  }
  return result;
}

/** The members of `left` that are not in `right`, nor below a member of `right`. */
export function recursiveDifference(left: FieldSet, right: FieldSet): FieldSet {
  if (isEmpty(right)) return left;
  const result: Draft = {};
  for (const element of Object.keys(left)) {
    const mine = left[element] as FieldSet;
    const other = right[element];
    if (other === undefined) result[element] = mine;
    else if (!isMember(other)) {
      const node = nodeOf(isMember(mine), recursiveDifference(childrenOf(mine), childrenOf(other)));
      if (node !== undefined) result[element] = node;
    }
  }
  return result;
}

export function intersection(left: FieldSet, right: FieldSet): FieldSet {
  const result: Draft = {};
  for (const element of Object.keys(left)) {
    const mine = left[element] as FieldSet;
    const other = right[element];
    if (other === undefined || element === ".") continue;
    const node = nodeOf(isMember(mine) && isMember(other), intersection(childrenOf(mine), childrenOf(other)));
    if (node !== undefined) result[element] = node;
  }
  return result;
}

export function equalSets(left: FieldSet, right: FieldSet): boolean {
  if (left === right) return true;
  const elements = Object.keys(left);
  if (elements.length !== Object.keys(right).length) return false;
  return elements.every((element) => {
    const other = right[element];
    return other !== undefined && equalSets(left[element] as FieldSet, other);
  });
}

/** The node's children as a set of their own. */
export function childrenOf(node: FieldSet): FieldSet {
  if (node["."] === undefined) return node;
  const { ".": _self, ...children } = node;
  return children;
}

/** A node with these children; undefined when there is nothing to keep. */
export function nodeOf(member: boolean, children: FieldSet): FieldSet | undefined {
  if (isEmpty(children)) return member ? emptySet : undefined;
  return member ? { ".": emptySet, ...children } : children;
}

/** The set with its elements in the order in which upstream writes them. */
export function sortedSet(set: FieldSet): FieldSet {
  const result: Draft = {};
  for (const element of Object.keys(set).sort()) {
    const node = set[element] as FieldSet;
    result[element] = isEmpty(node) ? node : sortedSet(node);
  }
  return result;
}

/** Calls back for each member, members of a level before what is below them, in order of the elements. */
export function forEachMember(
  set: FieldSet,
  visit: (path: readonly string[]) => void,
  prefix: string[] = [],
): void {
  const elements = Object.keys(set)
    .filter((element) => element !== ".")
    .sort();
  for (const element of elements) if (isMember(set[element] as FieldSet)) visit([...prefix, element]);
  for (const element of elements)
    forEachMember(childrenOf(set[element] as FieldSet), visit, [...prefix, element]);
}

/** A path as error texts write it: .spec.containers[name="c"].image */
export function printPath(path: readonly string[]): string {
  return path.map(printElement).join("");
}

function printElement(element: string): string {
  const rest = element.slice(2);
  if (element.startsWith("f:")) return `.${rest}`;
  if (element.startsWith("i:")) return `[${rest}]`;
  if (element.startsWith("v:")) return `[=${rest}]`;
  const key = JSON.parse(rest) as Record<string, unknown>;
  return `[${Object.keys(key)
    .map((name) => `${name}=${JSON.stringify(key[name])}`)
    .join(",")}]`;
}
