"""Write every generated page, and link the results of benchmarks."""

from docs.generate import FOLDER, PAGES, results

for name, page in PAGES.items():
    (FOLDER / name).write_text(page(), encoding="utf-8")
results.link()
