// The height, for the size of a PNG; and a page that is watched is loaded again when a file changes.
document.documentElement.dataset.height = String(Math.ceil(document.documentElement.scrollHeight));
const {version} = document.documentElement.dataset;
if (version) {
  const events = new EventSource(`/changes?since=${encodeURIComponent(version)}`);
  events.addEventListener("changed", () => location.reload());
}
