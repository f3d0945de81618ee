// Runes only: what Svelte 4 wrote is refused by the compiler.
export default { compilerOptions: { runes: true } };
