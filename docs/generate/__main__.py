"""Write every generated page and what is generated of the clients, and link the results of benchmarks."""

from docs.generate import FOLDER, PAGES, clients, results, twins

clients.write()
twins.write()
for name, page in PAGES.items():
    (FOLDER / name).write_text(page(), encoding="utf-8")
results.link()
