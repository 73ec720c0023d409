// Thread: any
// C structs as classes: declared once, their sizes and offsets computed by the x86-64 ABI's rules.

type Scalar = "u8" | "u16" | "u32" | "i32" | "u64";
/** A field: a scalar, or `[bytes, alignment]` for an array or a nested struct that is used as bytes. */
export type FieldType = Scalar | readonly [size: number, align: number];
type ValueOf<T extends FieldType> = T extends Scalar ? number : Uint8Array;
type Fields = Readonly<Record<string, FieldType>>;

const SCALAR_SIZE: Readonly<Record<Scalar, number>> = {
  u8: 1,
  u16: 2,
  u32: 4,
  i32: 4,
  u64: 8,
};

/** What `struct()` returns: call `new` for a zeroed one, or give it bytes to lie over. */
export interface StructClass<F extends Fields> {
  new (bytes?: Uint8Array<ArrayBuffer>): StructInstance<F>;
  readonly SIZE: number;
  readonly OFFSET: Readonly<Record<keyof F, number>>;
}
export type StructInstance<F extends Fields> =
  & { -readonly [K in keyof F]: ValueOf<F[K]> }
  & { readonly bytes: Uint8Array<ArrayBuffer> };

/**
 * Declares a C struct. A `u64` is a number, exact up to 2^53 (KVM's addresses and sizes are far below);
 * setting one above that throws.
 *
 * ```ts
 * const Pair = struct({ fd: "u32", at: "u64" });
 * Pair.SIZE; // 16
 * const pair = new Pair();
 * pair.at = 0x1000;
 * ```
 */
export function struct<const F extends Fields>(fields: F): StructClass<F> {
  const { offsets, size } = layOut(fields);
  class Struct {
    static readonly SIZE = size;
    static readonly OFFSET = offsets;
    readonly bytes: Uint8Array<ArrayBuffer>;
    readonly view: DataView<ArrayBuffer>;
    constructor(bytes: Uint8Array<ArrayBuffer> = new Uint8Array(size)) {
      if (bytes.length < size) {
        throw new RangeError(`struct needs ${size} bytes, got ${bytes.length}`);
      }
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer, bytes.byteOffset, size);
    }
  }
  for (const [name, type] of Object.entries(fields)) {
    Object.defineProperty(
      Struct.prototype,
      name,
      accessor(offsets[name] ?? 0, type),
    );
  }
  return Struct as unknown as StructClass<F>;
}

function layOut(
  fields: Fields,
): { offsets: Record<string, number>; size: number } {
  const offsets: Record<string, number> = {};
  let end = 0;
  let maxAlign = 1;
  for (const [name, type] of Object.entries(fields)) {
    const [size, align] = typeof type === "string"
      ? [SCALAR_SIZE[type], SCALAR_SIZE[type]]
      : type;
    maxAlign = Math.max(maxAlign, align);
    offsets[name] = Math.ceil(end / align) * align;
    end = offsets[name] + size;
  }
  return { offsets, size: Math.ceil(end / maxAlign) * maxAlign };
}

function accessor(
  offset: number,
  type: FieldType,
): PropertyDescriptor & ThisType<{ view: DataView; bytes: Uint8Array }> {
  switch (type) {
    case "u8":
      return {
        get() {
          return this.view.getUint8(offset);
        },
        set(value: number) {
          this.view.setUint8(offset, value);
        },
      };
    case "u16":
      return {
        get() {
          return this.view.getUint16(offset, true);
        },
        set(value: number) {
          this.view.setUint16(offset, value, true);
        },
      };
    case "u32":
      return {
        get() {
          return this.view.getUint32(offset, true);
        },
        set(value: number) {
          this.view.setUint32(offset, value, true);
        },
      };
    case "i32":
      return {
        get() {
          return this.view.getInt32(offset, true);
        },
        set(value: number) {
          this.view.setInt32(offset, value, true);
        },
      };
    case "u64":
      return {
        get() {
          return this.view.getUint32(offset, true) +
            this.view.getUint32(offset + 4, true) * 2 ** 32;
        },
        set(value: number) {
          setU64(this.view, offset, value);
        },
      };
    default:
      return {
        get() {
          return this.bytes.subarray(offset, offset + type[0]);
        },
        set(value: Uint8Array) {
          this.bytes.set(value.subarray(0, type[0]), offset);
        },
      };
  }
}

/** Stores a number below 2^53 as a little-endian u64; throws a RangeError for what a number cannot hold. */
export function setU64(view: DataView, offset: number, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new RangeError(`not a u64 that a number holds: ${value}`);
  }
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / 2 ** 32), true);
}
