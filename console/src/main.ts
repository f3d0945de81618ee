import { mount } from 'svelte';
import './app.css';
import App from './App.svelte';
import { live } from './lib/live.svelte';
import { now } from './lib/now.svelte';
import { router } from './lib/router.svelte';
import { settings } from './lib/settings.svelte';

settings.start();
router.start();
now.start();
live.start();

const target = document.getElementById('app');
if (target !== null) mount(App, { target });
