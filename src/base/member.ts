/** Members of objects that serve as maps, whose keys clients choose. */

/**
 * Sets a member as `object[key] = value` does, for every key: an assignment to "__proto__" (a valid key of
 * a ConfigMap) would change the object's prototype instead.
 */
export function setMember<T>(object: Record<string, T>, key: string, value: NoInfer<T>): void {
  if (key === "__proto__")
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true });
  else object[key] = value;
}
