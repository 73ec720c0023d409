// Thread: any
// The vhost-user protocol (QEMU docs/interop/vhost-user.rst): its numbers, and the header of its messages.
import { VhostUserError } from "../errors.ts";

/** Requests of the front end. */
export const Request = {
  VHOST_USER_GET_FEATURES: 1,
  VHOST_USER_SET_FEATURES: 2,
  VHOST_USER_SET_OWNER: 3,
  VHOST_USER_RESET_OWNER: 4,
  VHOST_USER_SET_MEM_TABLE: 5,
  VHOST_USER_SET_LOG_BASE: 6,
  VHOST_USER_SET_LOG_FD: 7,
  VHOST_USER_SET_VRING_NUM: 8,
  VHOST_USER_SET_VRING_ADDR: 9,
  VHOST_USER_SET_VRING_BASE: 10,
  VHOST_USER_GET_VRING_BASE: 11,
  VHOST_USER_SET_VRING_KICK: 12,
  VHOST_USER_SET_VRING_CALL: 13,
  VHOST_USER_SET_VRING_ERR: 14,
  VHOST_USER_GET_PROTOCOL_FEATURES: 15,
  VHOST_USER_SET_PROTOCOL_FEATURES: 16,
  VHOST_USER_GET_QUEUE_NUM: 17,
  VHOST_USER_SET_VRING_ENABLE: 18,
  VHOST_USER_SET_BACKEND_REQ_FD: 21,
  VHOST_USER_GET_CONFIG: 24,
  VHOST_USER_SET_CONFIG: 25,
  VHOST_USER_GET_INFLIGHT_FD: 31,
  VHOST_USER_SET_INFLIGHT_FD: 32,
  VHOST_USER_RESET_DEVICE: 34,
  VHOST_USER_SET_STATUS: 39,
  VHOST_USER_GET_STATUS: 40,
} as const;

/** Requests of the back end, on a channel of their own. */
export const BackEndRequest = {
  VHOST_USER_BACKEND_IOTLB_MSG: 1,
  VHOST_USER_BACKEND_CONFIG_CHANGE_MSG: 2,
  VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG: 3,
} as const;

/** Bit of GET_FEATURES: there are protocol features. No virtio feature, and never shown to a driver. */
export const VHOST_USER_F_PROTOCOL_FEATURES = 30;

// Protocol features, by bit.
export const VHOST_USER_PROTOCOL_F_MQ = 0;
export const VHOST_USER_PROTOCOL_F_REPLY_ACK = 3;
export const VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5;
export const VHOST_USER_PROTOCOL_F_CONFIG = 9;
export const VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12;
export const VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13;
export const VHOST_USER_PROTOCOL_F_STATUS = 16;

// The header's flags.
export const VHOST_USER_VERSION = 1;
const VERSION_MASK = 3;
export const VHOST_USER_REPLY = 4;
export const VHOST_USER_NEED_REPLY = 8;

/** Flag of SET_VRING_KICK, CALL and ERR: there is no descriptor. */
export const VHOST_USER_VRING_NOFD = 0x100;

export const HEADER_SIZE = 12;
/** The longest message of this protocol is a tenth of it. */
export const MAX_PAYLOAD = 4096;
/** Regions of a memory table, and descriptors of a message. */
export const MAX_REGIONS = 8;
/** Configuration space that one GET_CONFIG or SET_CONFIG carries. */
export const VHOST_USER_MAX_CONFIG = 256;

/** "VHOST_USER_SET_MEM_TABLE" for 5. */
export function requestName(request: number): string {
  const known = Object.entries(Request).find(([, id]) => id === request);
  return known?.[0] ?? `request ${request}`;
}

export interface Header {
  readonly request: number;
  readonly flags: number;
  /** Bytes of the payload. */
  readonly size: number;
}

export function encodeHeader(
  { request, flags, size }: Header,
): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_SIZE);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, request, true);
  view.setUint32(4, (flags & ~VERSION_MASK) | VHOST_USER_VERSION, true);
  view.setUint32(8, size, true);
  return bytes;
}

/** Throws a VhostUserError for a version or a size that there is not; `bytes` are HEADER_SIZE. */
export function decodeHeader(bytes: Uint8Array): Header {
  const view = new DataView(bytes.buffer, bytes.byteOffset, HEADER_SIZE);
  const request = view.getUint32(0, true);
  const flags = view.getUint32(4, true);
  const size = view.getUint32(8, true);
  if ((flags & VERSION_MASK) !== VHOST_USER_VERSION) {
    throw new VhostUserError(
      `speaks version ${flags & VERSION_MASK} of the protocol, not 1`,
    );
  }
  if (size > MAX_PAYLOAD) {
    throw new VhostUserError(
      `announced ${size} bytes for ${
        requestName(request)
      }; the most is ${MAX_PAYLOAD}`,
    );
  }
  return { request, flags, size };
}
