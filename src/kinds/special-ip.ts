/** Addresses that no endpoint or external address may have: unspecified, loopback, link-local. */
import { type FieldError, invalid } from "./field-error.ts";
import { cidrContains, parseCidr, parseIp } from "./ip.ts";

const ranges: readonly [string[], string][] = [
  [["127.0.0.0/8", "::1/128"], "may not be in the loopback range (127.0.0.0/8, ::1/128)"],
  [["169.254.0.0/16", "fe80::/10"], "may not be in the link-local range (169.254.0.0/16, fe80::/10)"],
  [["224.0.0.0/24", "ff02::/16"], "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"],
];

export function nonSpecialIpErrors(text: string, path: string): FieldError[] {
  const ip = parseIp(text);
  if (ip === undefined) return [invalid(path, text, "must be a valid IP address")];
  const errors: FieldError[] = [];
  if (ip.value === 0n)
    errors.push(invalid(path, text, `may not be unspecified (${ip.family === 4 ? "0.0.0.0" : "::"})`));
  for (const [cidrs, detail] of ranges)
    if (cidrs.some((each) => cidrContains(parseCidr(each) ?? { ...ip, bits: 129 }, ip)))
      errors.push(invalid(path, text, detail));
  return errors;
}
