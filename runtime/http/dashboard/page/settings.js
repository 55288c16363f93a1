/* What a user wants to be told, as the server keeps it: each change is sent at once, one after the other. */

import { call } from "./api.js";

const PATH = "/v1/notifications/preferences";

/** The channels that a user chooses among, by kind: what people call them, and the key of their switch. */
export const CHANNELS = { email: ["E-mail", "to_emails"], push: ["Push", "to_push"], sms: ["Text message", "to_sms"] };

export class Settings {
  #kept;
  #turn = Promise.resolve();

  constructor(kept) {
    this.#kept = kept;
  }

  static async load() {
    return new Settings(await call("GET", PATH));
  }

  get kept() {
    return this.#kept;
  }

  /** What is wanted of a category, with what holds where nothing was chosen. */
  of(category) {
    const own = this.#kept.categories[category.name] ?? {};
    return {
      enabled: own.enabled ?? (category.default || category.mandatory),
      to_emails: own.to_emails ?? true,
      to_push: own.to_push ?? true,
      to_sms: own.to_sms ?? true,
    };
  }

  change(fields) {
    return this.#put(() => ({ ...this.#kept, ...fields }));
  }

  changeCategory(name, fields) {
    return this.#put(() => {
      const { categories } = this.#kept;
      return { ...this.#kept, categories: { ...categories, [name]: { ...categories[name], ...fields } } };
    });
  }

  #put(changed) {
    const mine = this.#turn
      .catch(() => {})
      .then(async () => {
        this.#kept = await call("PUT", PATH, changed());
      });
    this.#turn = mine;
    return mine;
  }
}
