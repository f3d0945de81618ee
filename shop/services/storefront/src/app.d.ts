import type { Session } from '$lib/server/session';
import type { Shop } from '$lib/server/shop';

declare global {
  namespace App {
    interface Locals {
      /** Who is signed in; null for a visitor. */
      session: Session | null;
      /** The public API, as this request may use it. */
      shop: Shop;
    }
    interface Error {
      message: string;
      /** Whether the same request may succeed later. */
      again?: boolean;
    }
  }
}

export {};
