// Policies and matches in few words. Pure.

import { bytes, span } from './format';
import type { Policy, Route } from './types';

export function matchOf(route: Route): string {
  const [[kind, path] = ['', '']] = Object.entries(route.matches.path);
  const shown = kind === 'prefix' ? `${path === '/' ? '' : path}/**` : kind === 'regex' ? `~ ${path}` : path;
  const hosts = route.matches.hosts.length > 0 ? `${route.matches.hosts.join(', ')} ` : '';
  return `${hosts}${shown}`;
}

/** Values of a policy by the names that manifests have for them. */
export function policyValues(policy: Policy): [string, string][] {
  const { breaker } = policy;
  return [
    ['timeout', policy.stream ? '–' : span(policy.timeout_ms)],
    ['stream', String(policy.stream)],
    ['retries', String(policy.retries)],
    ['breaker.failures', `${Math.round(breaker.failure_ratio * 1000) / 10} %`],
    ['breaker.minimum', String(breaker.minimum)],
    ['breaker.open', span(breaker.open_ms)],
    ['body_limit', bytes(policy.body_limit)],
  ];
}

/** What differs most between routes. */
export function policyWords(policy: Policy, limit: Route['limit']): string {
  const words = [policy.stream ? 'stream' : span(policy.timeout_ms), `${policy.retries}×`];
  if (limit !== null)
    words.push(
      limit.per_second >= 1 ? `≤ ${limit.per_second}/s` : `≤ ${Math.round(limit.per_second * 60)}/min`,
    );
  return words.join(' · ');
}

/** Which services take a route's requests and which get copies; nothing where all go to its own. */
export function goesTo(route: Route): { shares: string; copies: string } {
  const percent = (share: number) => `${Math.round(share * 1000) / 10} %`;
  const backends = route.action.forward ?? [];
  const sum = backends.reduce((sum, { weight }) => sum + weight, 0);
  const own = backends.length === 1 && backends[0]?.service === route.service;
  const shares = own
    ? []
    : backends.map(({ service, weight }) => `${service} ${percent(weight / (sum || 1))}`);
  const copies = route.mirrors.map(({ service, share }) => `${service} ${percent(share)}`);
  return { shares: shares.join(' · '), copies: copies.join(' · ') };
}
