// Thread: any
// A device's configuration space as named fields, little-endian and one after the other (virtio-v1.3 §2.5).

/** An unsigned number of that many bits; or, as a number, that many plain bytes. */
export type FieldType = "u8" | "u16" | "u32" | "u64" | number;

/** A field, which the driver may only read unless it says `writable`. */
export type ConfigField =
  | FieldType
  | { readonly type: FieldType; readonly writable?: boolean };

/**
 * Fields by name, in the order in which they lie; what the specification leaves unused is a field too.
 *
 * ```ts
 * import type { ConfigLayout } from "@paddock/paddock/plugin";
 *
 * // struct virtio_net_config (virtio-v1.3 §5.1.4)
 * export const layout = { mac: 6, status: "u16" } satisfies ConfigLayout;
 * ```
 */
export type ConfigLayout = Readonly<Record<string, ConfigField>>;

/** What a field holds: bytes, or a number; a u64 up to 2^53. */
export type FieldValue<Field> = Field extends { readonly type: infer Type }
  ? FieldValue<Type>
  : Field extends number ? Uint8Array
  : number;

/** All of a layout's values. */
export type ConfigValues<Layout> = {
  readonly [Name in keyof Layout]: FieldValue<Layout[Name]>;
};

/** A field where it lies in configuration space. */
export interface PlacedField {
  readonly name: string;
  readonly offset: number;
  readonly size: number;
  /** Plain bytes, not a number. */
  readonly isBytes: boolean;
  readonly writable: boolean;
}

const SIZES: ReadonlyMap<unknown, number> = new Map([
  ["u8", 1],
  ["u16", 2],
  ["u32", 4],
  ["u64", 8],
]);

/** Bytes of a field, or undefined where it is none. */
export function fieldSize(field: unknown): number | undefined {
  const type = typeof field === "object" && field !== null && "type" in field
    ? field.type
    : field;
  if (typeof type !== "number") return SIZES.get(type);
  return Number.isInteger(type) && type > 0 ? type : undefined;
}

/** Where each field of a checked layout lies. */
export function placeFields(layout: ConfigLayout): PlacedField[] {
  let end = 0;
  return Object.entries(layout).map(([name, field]) => {
    const type = typeof field === "object" ? field.type : field;
    const size = fieldSize(field)!;
    const offset = end;
    end += size;
    return {
      name,
      offset,
      size,
      isBytes: typeof type === "number",
      writable: typeof field === "object" && field.writable === true,
    };
  });
}

/** Bytes of the whole space. */
export function configSize(fields: readonly PlacedField[]): number {
  const last = fields.at(-1);
  return last === undefined ? 0 : last.offset + last.size;
}

/** A field's value in a configuration space; bytes are a copy. */
export function readField(
  space: Uint8Array,
  { offset, size, isBytes }: PlacedField,
): number | Uint8Array {
  if (isBytes) return space.slice(offset, offset + size);
  let value = 0;
  for (let i = size - 1; i >= 0; i--) value = value * 256 + space[offset + i]!;
  return value;
}

/** The bytes of a value; throws a RangeError or TypeError that names the field when it is not one of its type. */
export function encodeField(field: PlacedField, value: unknown): Uint8Array {
  const { name, size, isBytes } = field;
  if (isBytes) {
    if (!(value instanceof Uint8Array) || value.length !== size) {
      throw new TypeError(
        `config field ${name} takes a Uint8Array of ${size} bytes`,
      );
    }
    return value;
  }
  const limit = Math.min(2 ** (8 * size) - 1, Number.MAX_SAFE_INTEGER);
  if (!Number.isInteger(value) || Number(value) < 0 || Number(value) > limit) {
    throw new RangeError(
      `config field ${name} takes a whole number from 0 to ${limit}, not ${value}`,
    );
  }
  const bytes = new Uint8Array(size);
  let left = Number(value);
  for (let i = 0; i < size; i++) {
    bytes[i] = left % 256;
    left = Math.floor(left / 256);
  }
  return bytes;
}
