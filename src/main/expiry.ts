/** What ends and can't be renewed by the node itself: said in the status long before. */
import type { NodeStatus } from "#cli/status.ts";
import { daysLeft } from "#cluster/certificates.ts";

const warnDays = 365;

/** `certificates`: PEM by what it is, and what to do about it. */
export function expiryWarnings(
  certificates: Readonly<Record<string, { certificate: string; advice: string }>>,
  nowMs: number,
): Pick<NodeStatus, "warnings"> {
  const warnings = Object.entries(certificates).flatMap(([what, { certificate, advice }]) => {
    const days = Math.floor(daysLeft(certificate, nowMs));
    if (days > warnDays) return [];
    return [`${what} ${days < 0 ? "has ended" : `ends in ${days} days`}; ${advice}`];
  });
  return warnings.length === 0 ? {} : { warnings };
}
