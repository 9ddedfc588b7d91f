"""A user's pictures in colour, for training."""

from pathlib import Path

from cidesign.data.colours import training_colours
from cidesign.data.source import TrainingImages
from cidesign.run_settings import TrainingSettings


def training_images(settings: TrainingSettings) -> TrainingImages:
    """Crops of the pictures below `settings.data`."""
    found = training_colours(
        Path(settings.data), settings.side, settings.images, settings.validation_images, settings.seed
    )
    return TrainingImages(
        train=found.train,
        validation=found.validation,
        description=f"{settings.images} crops of {found.pictures} pictures below {settings.data}, in colour",
        skipped=found.skipped,
        notes=found.notes,
        trained=found.trained,
    )
