// Where the reader is: path and query of the address, which every view can be reached by.

export interface Place {
  path: string;
  query: URLSearchParams;
}

function here(): Place {
  return { path: location.pathname, query: new URLSearchParams(location.search) };
}

class Router {
  place = $state.raw<Place>(here());

  start() {
    addEventListener('popstate', () => (this.place = here()));
    document.addEventListener('click', (event) => this.#click(event));
  }

  /** Segments of the path, decoded. */
  get segments(): string[] {
    return segments(this.place.path);
  }

  go(url: string, replace = false) {
    if (url === location.pathname + location.search) return;
    if (replace) history.replaceState(null, '', url);
    else history.pushState(null, '', url);
    this.place = here();
    if (!replace) scrollTo(0, 0);
  }

  /** Changes the query alone; the address stays one entry of the history. */
  filter(parameters: Record<string, string | null>) {
    const query = new URLSearchParams(this.place.query);
    for (const [name, value] of Object.entries(parameters)) {
      if (value === null || value === '') query.delete(name);
      else query.set(name, value);
    }
    const text = query.toString();
    this.go(location.pathname + (text === '' ? '' : `?${text}`), true);
  }

  /** Plain clicks on own links stay on the page. */
  #click(event: MouseEvent) {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = (event.target as Element | null)?.closest('a');
    if (!(link instanceof HTMLAnchorElement) || link.target !== '' || link.hasAttribute('download')) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || url.pathname.startsWith('/v1/')) return;
    // To a place on this page: the browser goes there, and takes the focus along.
    if (url.hash !== '' && url.pathname + url.search === location.pathname + location.search) return;
    event.preventDefault();
    this.go(url.pathname + url.search);
  }
}

/** Parts of a path; a part may hold an encoded slash. What is no encoding stays as it is: it names nothing that there is. */
export function segments(path: string): string[] {
  return path
    .split('/')
    .filter((part) => part !== '')
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });
}

export const router = new Router();
