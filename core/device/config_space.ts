// Thread: queue
// A device's configuration space in its page: its fields, as the device reads and updates and the driver writes them.
import {
  type ConfigLayout,
  configSize,
  encodeField,
  type PlacedField,
  placeFields,
  readField,
} from "../virtio/config_layout.ts";
import {
  CONFIG_GENERATION,
  configOf,
  type Words,
  wordsOf,
} from "../virtio/device_page.ts";

export class ConfigSpace {
  readonly #words: Words;
  readonly #fields: readonly PlacedField[];
  readonly #bytes: Uint8Array<SharedArrayBuffer>;

  constructor(page: SharedArrayBuffer, layout: ConfigLayout) {
    this.#words = wordsOf(page);
    this.#fields = placeFields(layout);
    this.#bytes = configOf(page).subarray(0, configSize(this.#fields));
  }

  copy(): Uint8Array {
    return this.#bytes.slice();
  }

  /** Each field's value as it is when it is read. */
  values(): object {
    const values = {};
    for (const field of this.#fields) {
      const get = () => readField(this.#bytes, field);
      Object.defineProperty(values, field.name, { get, enumerable: true });
    }
    return values;
  }

  clear(): void {
    this.#change(() => this.#bytes.fill(0));
  }

  /** All at once, or nothing where a value is not of its field's type. */
  update(values: Readonly<Record<string, unknown>>): void {
    const updates = Object.entries(values).map(([name, value]) => {
      const field = this.#field(name);
      return [field.offset, encodeField(field, value)] as const;
    });
    this.#change(() => {
      for (const [offset, bytes] of updates) this.#bytes.set(bytes, offset);
    });
  }

  /** The driver's write; it takes effect in fields that are writable (§2.5.1), and each of them is told. */
  write(
    offset: number,
    size: number,
    value: number,
    written: (field: string) => void,
  ): void {
    for (const field of this.#fields) {
      const from = Math.max(offset, field.offset);
      const to = Math.min(offset + size, field.offset + field.size);
      if (!field.writable || from >= to) continue;
      for (let at = from; at < to; at++) {
        this.#bytes[at] = value >>> (8 * (at - offset));
      }
      written(field.name);
    }
  }

  #change(change: () => void): void {
    Atomics.add(this.#words, CONFIG_GENERATION, 1);
    change();
    Atomics.add(this.#words, CONFIG_GENERATION, 1);
  }

  #field(name: string): PlacedField {
    const field = this.#fields.find((field) => field.name === name);
    if (field !== undefined) return field;
    throw new TypeError(`there is no config field ${name}`);
  }
}
