// Reads `text/event-stream` as it comes, after the HTML standard, section 9.2.6.

export interface Message {
  /** Of the last message that had one, as the standard wants it. */
  id: string;
  event: string;
  data: string;
}

/** Feed it text in any pieces; it gives the messages that have ended. */
export class SseReader {
  #rest = '';
  #id = '';
  #event = '';
  #data: string[] = [];

  feed(text: string): Message[] {
    const messages: Message[] = [];
    this.#rest += text;
    let from = 0;
    for (;;) {
      const end = this.#rest.indexOf('\n', from);
      if (end < 0) break;
      const line = this.#rest.slice(from, this.#rest[end - 1] === '\r' ? end - 1 : end);
      from = end + 1;
      if (line === '') this.#dispatch(messages);
      else this.#field(line);
    }
    this.#rest = this.#rest.slice(from);
    return messages;
  }

  #field(line: string) {
    const colon = line.indexOf(':');
    if (colon === 0) return;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    if (name === 'id') this.#id = value;
    else if (name === 'event') this.#event = value;
    else if (name === 'data') this.#data.push(value);
  }

  #dispatch(messages: Message[]) {
    if (this.#data.length > 0) {
      messages.push({ id: this.#id, event: this.#event || 'message', data: this.#data.join('\n') });
    }
    this.#event = '';
    this.#data = [];
  }
}
