"""What the shop sells: 48 products, the same for every run, known to the catalog and the inventory."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PRODUCTS", "Product"]

_CATEGORIES = {
    "tea": ("Assam", "Darjeeling", "Sencha", "Rooibos", "Oolong", "Mint"),
    "coffee": ("Espresso", "Filter", "Decaf", "Yirgacheffe", "Mocha", "Cold Brew"),
    "spice": ("Saffron", "Cardamom", "Cumin", "Sumac", "Paprika", "Nutmeg"),
    "chocolate": ("Dark", "Milk", "White", "Nougat", "Orange", "Sea Salt"),
}
_SIZES = (("100 g", 1.0), ("250 g", 2.3))


@dataclass(frozen=True, slots=True)
class Product:
    """One thing to buy; the price is in euro cents."""

    id: int
    name: str
    category: str
    price_cents: int

    def as_json(self) -> dict[str, object]:
        """What the catalog answers."""
        return {"id": self.id, "name": self.name, "category": self.category, "price_cents": self.price_cents}


def _stock_up() -> dict[int, Product]:
    kinds = [(category, name) for category, names in _CATEGORIES.items() for name in names]
    listed = [
        Product(0, f"{name} {category}, {size}", category, round((290 + 35 * place) * factor))
        for place, (category, name) in enumerate(kinds)
        for size, factor in _SIZES
    ]
    return {
        number: Product(number, product.name, product.category, product.price_cents)
        for number, product in enumerate(listed, start=1)
    }


PRODUCTS = _stock_up()
"""The products by id, 1 to 48."""
