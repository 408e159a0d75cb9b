// Brings what the page of a desktop is made of, while the user looks at his tiles: once he clicks,
// nothing but the desktop itself is waited for.

const bring = () => import(document.querySelector('meta[name="novnc"]').content).catch(() => {});

if ("requestIdleCallback" in globalThis) requestIdleCallback(bring);
else setTimeout(bring, 1000);
