/** When an image is pulled, and what a reference means. */

/** The policy in force: the given one, or upstream's default by tag. The API server sets it normally. */
export function pullPolicy(image: string, policy: string | undefined): "Always" | "IfNotPresent" | "Never" {
  if (policy === "Always" || policy === "IfNotPresent" || policy === "Never") return policy;
  if (image.includes("@")) return "IfNotPresent";
  const tag = /:([^/:]+)$/.exec(image)?.[1];
  return tag === undefined || tag === "latest" ? "Always" : "IfNotPresent";
}

/** Whether the reference can be a reference at all. */
export function isValidImageName(image: string): boolean {
  const host = "(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?(?::[0-9]+)?/)?";
  const part = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*";
  return new RegExp(
    `^${host}${part}(?:/${part})*(?::[\\w][\\w.-]{0,127})?(?:@[a-zA-Z0-9+._-]+:[0-9a-fA-F]{32,})?$`,
  ).test(image);
}

/** The registry of a reference, for the choice of credentials. */
export function registryOf(image: string): string {
  const first = image.split("/")[0]!;
  return image.includes("/") && (/[.:]/.test(first) || first === "localhost") ? first : "docker.io";
}
