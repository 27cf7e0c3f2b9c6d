/** Conversion between the versions of a definition by asking its webhook. */
import { assert } from "#base/assert.ts";
import type { KubeObject } from "#kinds/object.ts";
import type { RemoteConversion } from "#api/cache/converted-entries.ts";
import { unclassifiedError } from "#api/status.ts";
import { WebhookError } from "#api/webhooks/webhook-client.ts";
import type { WebhookClient } from "#api/webhooks/webhook-client.ts";
import { BadReview, convertedObjects, conversionReview, reviewVersion } from "./conversion-review.ts";
import type { CustomResourceDefinition } from "./definition.ts";

const timeoutSeconds = 30;
/** Objects in one review, so that neither question nor answer grows without a bound. */
const objectsPerReview = 500;

/** For a definition whose strategy is Webhook. */
export class WebhookConversion implements RemoteConversion {
  readonly #definition: CustomResourceDefinition;
  readonly #client: WebhookClient;
  readonly #newUid: () => string;

  constructor(definition: CustomResourceDefinition, client: WebhookClient, newUid: () => string) {
    this.#definition = definition;
    this.#client = client;
    this.#newUid = newUid;
  }

  async convert(objects: readonly KubeObject[], apiVersion: string): Promise<KubeObject[]> {
    const converted: KubeObject[] = [];
    for (let at = 0; at < objects.length; at += objectsPerReview)
      converted.push(...(await this.#review(objects.slice(at, at + objectsPerReview), apiVersion)));
    return converted;
  }

  async #review(objects: readonly KubeObject[], desiredAPIVersion: string): Promise<KubeObject[]> {
    const webhook = this.#definition.spec.conversion?.webhook;
    const version = reviewVersion(webhook?.conversionReviewVersions ?? []);
    assert(webhook?.clientConfig !== undefined, "a definition with the strategy Webhook says where it is");
    if (version === undefined) throw unclassifiedError("no supported conversion review versions");
    const request = { uid: this.#newUid(), desiredAPIVersion, objects };
    const about = `conversion webhook for ${objects[0]?.apiVersion ?? ""}, Kind=${objects[0]?.kind ?? ""}`;
    try {
      const review = conversionReview(version, request);
      const answer = await this.#client.post(webhook.clientConfig, review, timeoutSeconds);
      return convertedObjects(answer, version, request);
    } catch (error) {
      if (error instanceof WebhookError) throw unclassifiedError(`${about} failed: ${error.message}`);
      if (error instanceof BadReview) throw unclassifiedError(`${about} ${error.message}`);
      throw error;
    }
  }
}
