"""`python -m catalog_svc serve|migrate|rebuild`."""

from catalog_svc.app import build
from catalog_svc.settings import CatalogSettings
from chassis.main import main

if __name__ == "__main__":
    main("catalog_svc", CatalogSettings, build)
