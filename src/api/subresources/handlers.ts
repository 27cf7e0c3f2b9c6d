/** All handlers beside plain storage, by the name of what they serve. */
import type { Authenticator } from "../auth/authenticate.ts";
import type { RbacAuthorizer } from "../auth/rbac.ts";
import type { ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import { componentStatusHandlers } from "./component-status.ts";
import { finalizeHandlers } from "./namespace-finalize.ts";
import { agentHandlers } from "./node-agent.ts";
import type { AgentProxy } from "./node-agent.ts";
import { bindingHandlers, evictionHandlers } from "./pods.ts";
import { reviewHandlers } from "./reviews.ts";
import { scaleHandlers } from "./scale.ts";
import { tokenHandlers } from "./service-account-token.ts";
import { SpecialHandlers } from "./special.ts";

export interface SpecialOptions {
  tokens: ServiceAccountTokens;
  authenticator: Authenticator;
  rbac: RbacAuthorizer;
  agents: AgentProxy;
}

export function specialHandlers(options: SpecialOptions): SpecialHandlers {
  return new SpecialHandlers(
    {
      "*/scale": scaleHandlers,
      "bindings/": bindingHandlers,
      "componentstatuses/": componentStatusHandlers,
      "namespaces/finalize": finalizeHandlers,
      "pods/binding": bindingHandlers,
      "pods/eviction": evictionHandlers,
      "serviceaccounts/token": tokenHandlers(options.tokens),
      ...reviewHandlers(options),
      ...agentHandlers(options.agents),
    },
    ["nodes/proxy", "pods/proxy", "services/proxy"],
  );
}
