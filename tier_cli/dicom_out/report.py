"""Write the results of one study as a structured report (PS3.16 TID 1500)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from tier_cli import __version__
from tier_cli.dicom_out import concepts
from tier_cli.dicom_out.concepts import code_of, concept
from tier_cli.dicom_out.objects import (
    LONGEST_TEXT,
    MANUFACTURER,
    WARNING,
    import_highdicom,
    name_of,
    write_object,
)
from tier_cli.dicom_out.sources import read_sources
from tier_cli.dicom_out.uids import derived_uid, identity_of
from tier_cli.errors import InputError
from tier_cli.imaging.guard import guarded

if TYPE_CHECKING:
    from highdicom.sr import (
        AlgorithmIdentification,
        ComprehensiveSR,
        ContainerContentItem,
        Measurement,
        MeasurementReport,
        MeasurementsAndQualitativeEvaluations,
        QualitativeEvaluation,
    )
    from pydicom.dataset import Dataset

    from tier_cli.findings.schema import FindingSet
    from tier_cli.results.record import FindingScore, Result

# Shown in lists of series. 64 characters at most.
_SERIES = "TIER scores: for research use, not for clinical diagnosis"
# High, so that viewers list it after the images.
_SERIES_NUMBER = 9901


def write_report(folder: Path, results: Sequence[Result], findings: FindingSet) -> Path:
    """Write the structured report of one study, readable only by its owner; an older one is replaced.

    Parameters
    ----------
    folder
        Where it is written, under its SOP Instance UID.
    results
        The result of the study, or those of its images; all scored by one model.
    findings
        The finding set of the scores.

    Returns
    -------
    The file.

    Raises
    ------
    InputError
        The study cannot have a report: see `read_sources`.
    OSError
        The file cannot be written.
    """
    return write_object(folder, study_report(results, findings))


def study_report(results: Sequence[Result], findings: FindingSet) -> ComprehensiveSR:
    """Build the structured report of one study; parameters and errors as for `write_report`."""
    import_highdicom()
    results = tuple(results)
    sources = read_sources(results)
    with guarded(results[0].paths[0], "the DICOM header"):
        try:
            return _report(results, sources, findings)
        except KeyError:
            raise InputError(
                "its SOP class is not one of the standard's", remedy="export the image again from the archive"
            ) from None


def _report(
    results: tuple[Result, ...], sources: tuple[Dataset, ...], findings: FindingSet
) -> ComprehensiveSR:
    from highdicom.coding_schemes import CodingSchemeIdentificationItem
    from highdicom.sr import ComprehensiveSR

    model, study = results[0].model, results[0].study
    identity = (*identity_of(model), results[0].unit)
    instances = sorted(source.SOPInstanceUID for source in sources)
    return ComprehensiveSR(
        evidence=sources,
        content=_content(results, sources, findings)[0],
        series_instance_uid=derived_uid("SR series", study, *identity),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=derived_uid("SR", study, *identity, *instances),
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        specific_character_set="ISO_IR 192",
        manufacturer_model_name=name_of(model),
        software_versions=__version__,
        series_description=_SERIES,
        coding_schemes=[
            CodingSchemeIdentificationItem(
                concepts.SCHEME,
                name=concepts.SCHEME_NAME,
                uid=concepts.SCHEME_UID,
                responsible_organization=MANUFACTURER,
            )
        ],
    )


def _content(
    results: tuple[Result, ...], sources: tuple[Dataset, ...], findings: FindingSet
) -> MeasurementReport:
    from highdicom.sr import (
        DeviceObserverIdentifyingAttributes,
        LanguageOfContentItemAndDescendants,
        MeasurementReport,
        ObservationContext,
        ObserverContext,
        TextContentItem,
    )
    from pydicom.sr.codedict import codes

    model = results[0].model
    observer = DeviceObserverIdentifyingAttributes(
        uid=derived_uid("device", *identity_of(model)),
        name="tier",
        manufacturer_name=MANUFACTURER,
        model_name=name_of(model),
        serial_number=model.weights,
    )
    content = MeasurementReport(
        observation_context=ObservationContext(
            observer_device_context=ObserverContext(codes.DCM.Device, observer)
        ),
        procedure_reported=concept(concepts.CHEST_IMAGING),
        imaging_measurements=list(_groups(results, sources, findings)),
        language_of_content_item_and_descendants=LanguageOfContentItemAndDescendants(
            concept(concepts.ENGLISH)
        ),
    )
    items = content[0].ContentSequence
    notes = dict.fromkeys(note for result in results for note in result.notes)
    for text in (WARNING, *notes):
        items.append(TextContentItem(concept(concepts.COMMENT), text, "CONTAINS"))
    items.append(_library(sources))
    return content


def _groups(
    results: tuple[Result, ...], sources: tuple[Dataset, ...], findings: FindingSet
) -> Iterator[MeasurementsAndQualitativeEvaluations]:
    """Yield one measurement group per result and finding."""
    from highdicom.sr import (
        MeasurementsAndQualitativeEvaluations,
        SourceImageForMeasurementGroup,
        TrackingIdentifier,
    )

    algorithm = _algorithm(results[0])
    named = {finding.id: code_of(finding) for finding in findings.findings}
    left = iter(sources)
    for result in results:
        images = list(islice(left, len(result.paths)))
        instances = sorted(image.SOPInstanceUID for image in images)
        for score in result.findings:
            measurements, evaluations = _values(score)
            yield MeasurementsAndQualitativeEvaluations(
                tracking_identifier=TrackingIdentifier(
                    derived_uid("tracking", score.finding, *identity_of(result.model), *instances),
                    score.finding[:LONGEST_TEXT],
                ),
                finding_type=concept(named[score.finding]),
                algorithm_id=algorithm,
                measurements=measurements,
                qualitative_evaluations=evaluations,
                source_images=[SourceImageForMeasurementGroup.from_source_image(one) for one in images],
            )


def _values(score: FindingScore) -> tuple[list[Measurement], list[QualitativeEvaluation]]:
    """Return a score and its probability as measurements, and its call as an evaluation."""
    from highdicom.sr import Measurement, QualitativeEvaluation

    written = score.to_dict()
    units = concept(concepts.NO_UNITS)
    measurements = [Measurement(concept(concepts.SCORE), written["score"], units)]
    if score.probability is not None:
        measurements.append(Measurement(concept(concepts.PROBABILITY), written["probability"], units))
    if score.call is None:
        return measurements, []
    answer = concept(concepts.YES if score.call else concepts.NO)
    return measurements, [QualitativeEvaluation(concept(concepts.CALL), answer)]


def _algorithm(result: Result) -> AlgorithmIdentification:
    """Return the identity of the model (TID 4019): what `result.schema.json` calls ``model``."""
    from highdicom.sr import AlgorithmIdentification

    model = result.model
    parameters = [f"scoring: {result.scoring}", f"unit: {result.unit}"]
    for one in (model, *model.members):
        of = f" of {one.name}" if one is not model else ""
        hashes = one.to_dict()["hashes"]
        parameters += [f"SHA-256 of {name}{of}: {value}" for name, value in hashes.items()]
    return AlgorithmIdentification(name_of(model), f"tier {__version__}", parameters)


def _library(sources: Sequence[Dataset]) -> ContainerContentItem:
    """Return the image library (TID 1600): every image of the study that was scored."""
    from highdicom.sr import ContainerContentItem, ContentSequence, ImageContentItem

    library = ContainerContentItem(concept(concepts.IMAGE_LIBRARY), relationship_type="CONTAINS")
    group = ContainerContentItem(concept(concepts.IMAGE_LIBRARY_GROUP), relationship_type="CONTAINS")
    group.ContentSequence = ContentSequence(
        [
            ImageContentItem(
                concept(concepts.SOURCE), one.SOPClassUID, one.SOPInstanceUID, relationship_type="CONTAINS"
            )
            for one in sources
        ]
    )
    library.ContentSequence = ContentSequence([group])
    return library
