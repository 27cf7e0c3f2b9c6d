/** Groups below k8s.io and kubernetes.io are the community's: a definition there says who approved it. */

export const approvalAnnotation = "api-approved.kubernetes.io";

export interface Approval {
  state: "missing" | "invalid" | "bypassed" | "approved";
  message: string;
}

/** Undefined: the group is nobody's but its users'. */
export function approvalOf(
  group: string,
  annotations: Readonly<Record<string, string>> | undefined,
): Approval | undefined {
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(group)) return undefined;
  const text = annotations?.[approvalAnnotation] ?? "";
  const needed = `protected groups must have approval annotation ${JSON.stringify(approvalAnnotation)}`;
  const see = "see https://github.com/kubernetes/enhancements/pull/1111";
  if (text === "") return { state: "missing", message: `${needed}, ${see}` };
  if (text.startsWith("unapproved"))
    return { state: "bypassed", message: `not approved: ${JSON.stringify(text)}` };
  if (/^[a-z][a-z0-9+.-]*:\/\/[^/\s]/i.test(text) && URL.canParse(text))
    return { state: "approved", message: `approved in ${text}` };
  return {
    state: "invalid",
    message: `${needed} with either a URL or a reason starting with "unapproved", ${see}`,
  };
}
