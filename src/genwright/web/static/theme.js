// Sets the remembered theme before the first paint; loaded without defer. The toggle itself is in app.js.
(() => {
  let theme = null;
  try { theme = localStorage.getItem("genwright-theme"); } catch { /* storage may be forbidden: follow the system */ }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
