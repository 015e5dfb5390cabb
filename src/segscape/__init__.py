"""segscape: explore, train, measure and ship real-time semantic segmentation models.

Importing the package imports no torch; the first call does.

    import segscape
    model = segscape.create_model("ppliteseg", num_classes=19, fusion="uafm_channel")
    model = segscape.load_model("runs/.../checkpoints/best.ckpt")
    result = model.predict("street.jpg")
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["__version__", "create_model", "load_model"]

if TYPE_CHECKING:
    from segscape.api import create_model, load_model


def __getattr__(name: str) -> Any:
    if name in ("create_model", "load_model"):
        from segscape import api

        return getattr(api, name)
    raise AttributeError(f"module 'segscape' has no attribute {name!r}")
