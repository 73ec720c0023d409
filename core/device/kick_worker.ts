// Thread: irq
// Turns ioeventfds into kicks, so that the vCPU that wrote QueueNotify never stopped; and what back ends signal into
// interrupts.
import { waitEpoll } from "../sys/epoll.ts";
import { signalEventFd } from "../sys/fd.ts";
import { workerScope } from "../sys/worker_scope.ts";
import { VIRTIO_MMIO_INT_VRING } from "../virtio/constants.ts";
import { INTERRUPT_STATUS, kickQueue, wordsOf } from "../virtio/device_page.ts";
import {
  CALL,
  CLOSE_TAG,
  deviceOf,
  ERROR,
  kindOf,
  queueOf,
} from "./kick_tags.ts";

/** What main posts once. */
export interface KickWorkerInit {
  readonly epollFd: number;
  /** By device index. */
  readonly devicePages: readonly SharedArrayBuffer[];
  /** Eventfd of each device's irqfd, by device index, where back ends call. */
  readonly irqEventFds?: readonly number[];
}

/** What it posts: its end, or the device and queue that a back end gave up. */
export type FromKickWorker =
  | "closed"
  | { readonly device: number; readonly queue: number };

const WAIT_MS = 1000;
const scope = workerScope<KickWorkerInit, FromKickWorker>();

scope.onmessage = ({ data: { epollFd, devicePages, irqEventFds = [] } }) => {
  const pages = devicePages.map(wordsOf);
  const serve = (tag: number) => {
    const [device, queue] = [deviceOf(tag), queueOf(tag)];
    switch (kindOf(tag)) {
      case CALL:
        Atomics.or(pages[device]!, INTERRUPT_STATUS, VIRTIO_MMIO_INT_VRING);
        return signalEventFd(irqEventFds[device]!);
      case ERROR:
        return scope.postMessage({ device, queue });
      default:
        return kickQueue(pages[device]!, queue);
    }
  };
  let closed = false;
  while (!closed) {
    waitEpoll(epollFd, WAIT_MS, (tag) => {
      if (tag === CLOSE_TAG) closed = true;
      else serve(tag);
    });
  }
  scope.postMessage("closed");
  scope.close();
};
