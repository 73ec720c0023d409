// Thread: main
// What a front end is offered: the device's features with the core's, and the protocol's.
import type { WorkerHost } from "../device/worker_host.ts";
import { VhostUserError } from "../errors.ts";
import {
  VHOST_USER_F_PROTOCOL_FEATURES,
  VHOST_USER_PROTOCOL_F_BACKEND_REQ,
  VHOST_USER_PROTOCOL_F_CONFIG,
  VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD,
  VHOST_USER_PROTOCOL_F_MQ,
  VHOST_USER_PROTOCOL_F_REPLY_ACK,
  VHOST_USER_PROTOCOL_F_RESET_DEVICE,
} from "./protocol.ts";

const bit = (number: number): bigint => 1n << BigInt(number);
/** Among the features: there are the protocol's too. */
export const PROTOCOL_FEATURES = bit(VHOST_USER_F_PROTOCOL_FEATURES);
export const REPLY_ACK = bit(VHOST_USER_PROTOCOL_F_REPLY_ACK);
const CONFIG = bit(VHOST_USER_PROTOCOL_F_CONFIG);
const ALWAYS = REPLY_ACK |
  bit(VHOST_USER_PROTOCOL_F_MQ) |
  bit(VHOST_USER_PROTOCOL_F_BACKEND_REQ) |
  bit(VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD) |
  bit(VHOST_USER_PROTOCOL_F_RESET_DEVICE);

export function offeredFeatures({ offered }: WorkerHost): bigint {
  const [low, high] = offered;
  return BigInt(high >>> 0) << 32n | BigInt(low >>> 0) | PROTOCOL_FEATURES;
}

/** QEMU warns of a configuration space where it expects none. */
export function offeredProtocolFeatures({ declaration }: WorkerHost): bigint {
  return declaration!.config.length > 0 ? ALWAYS | CONFIG : ALWAYS;
}

export function checkAccepted(accepted: bigint, offered: bigint): void {
  const extra = accepted & ~offered;
  if (extra === 0n) return;
  throw new VhostUserError(
    `accepted features 0x${extra.toString(16)}, which were not offered`,
  );
}
