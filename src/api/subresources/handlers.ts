/** All handlers beside plain storage, by the name of what they serve. */
import type { Authenticator } from "../auth/authenticate.ts";
import type { RbacAuthorizer } from "../auth/rbac.ts";
import type { ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import { SpecialHandlers } from "./special.ts";

export interface SpecialOptions {
  tokens: ServiceAccountTokens;
  authenticator: Authenticator;
  rbac: RbacAuthorizer;
}

export function specialHandlers(_options: SpecialOptions): SpecialHandlers {
  return new SpecialHandlers({}, []);
}
