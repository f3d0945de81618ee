import { describe, expect, it } from 'vitest';
import { SseReader } from './sse';

describe('a stream of messages', () => {
  it('is read whatever the pieces are', () => {
    const text =
      ': hello\n\nevent: a\nid: 1\ndata: {"x":\ndata: 1}\n\nid: 2\r\nevent: b\r\ndata:y\r\n\r\nevent: c\n\n';
    const whole = new SseReader().feed(text);
    expect(whole).toEqual([
      { id: '1', event: 'a', data: '{"x":\n1}' },
      { id: '2', event: 'b', data: 'y' },
    ]);
    for (let size = 1; size < text.length; size += 1) {
      const reader = new SseReader();
      const messages = [];
      for (let at = 0; at < text.length; at += size) messages.push(...reader.feed(text.slice(at, at + size)));
      expect(messages).toEqual(whole);
    }
  });
});
