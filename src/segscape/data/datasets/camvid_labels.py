"""The classes of CamVid: SegNet's 11, and the 32 colours of the original labels.

Brostow, Fauqueur, Cipolla: "Semantic object classes in video", Pattern Recognition Letters
2009; the merge into 11 is the one that SegNet (arXiv 1511.00561) was trained with.
"""

from __future__ import annotations

from segscape.data.base import IGNORE_INDEX, Palette
from segscape.errors import choice

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
)
VOID = 11

# The 32 colours of the original labels and the SegNet class that each is merged into; the
# first colour of a class is its base colour, the only one that the strict merge keeps.
COLOURS: dict[str, dict[str, tuple[int, int, int]]] = {
    "sky": {"Sky": (128, 128, 128)},
    "building": {
        "Building": (128, 0, 0),
        "Bridge": (0, 128, 64),
        "Wall": (64, 192, 0),
        "Tunnel": (64, 0, 64),
        "Archway": (192, 0, 128),
    },
    "pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "road": {
        "Road": (128, 64, 128),
        "LaneMkgsDriv": (128, 0, 192),
        "LaneMkgsNonDriv": (192, 0, 64),
    },
    "pavement": {
        "Sidewalk": (0, 0, 192),
        "ParkingBlock": (64, 192, 128),
        "RoadShoulder": (128, 128, 192),
    },
    "tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "sign": {
        "SignSymbol": (192, 128, 128),
        "Misc_Text": (128, 128, 64),
        "TrafficLight": (0, 64, 64),
    },
    "fence": {"Fence": (64, 64, 128)},
    "car": {
        "Car": (64, 0, 128),
        "SUVPickupTruck": (64, 128, 192),
        "Truck_Bus": (192, 128, 192),
        "Train": (192, 64, 128),
        "OtherMoving": (128, 64, 64),
    },
    "pedestrian": {
        "Pedestrian": (64, 64, 0),
        "Child": (192, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Animal": (64, 128, 64),
    },
    "bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}
VOID_COLOUR = (0, 0, 0)
PALETTE: Palette = tuple(next(iter(COLOURS[name].values())) for name in CLASSES)

MERGES = ("segnet", "strict")


def colour_ids(merge: str = "segnet") -> dict[tuple[int, int, int], int]:
    """Colour of an original label -> training id.

    Args:
        merge: `segnet` merges the 32 classes into 11 as SegNet did; `strict` keeps the base
            colour of each of the 11 and ignores the 21 others. Scores differ.

    Raises:
        UserError: no such merge.
    """
    choice("data.merge", merge, MERGES)
    ids = {VOID_COLOUR: IGNORE_INDEX}
    for number, name in enumerate(CLASSES):
        for position, colour in enumerate(COLOURS[name].values()):
            kept = merge == "segnet" or position == 0
            ids[colour] = number if kept else IGNORE_INDEX
    return ids
