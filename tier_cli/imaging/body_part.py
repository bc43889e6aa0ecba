"""Recognise the names of the chest and of other body parts, in the languages of the field."""

from __future__ import annotations

from enum import Enum

from tier_cli.imaging.words import contains, words_of


class Part(Enum):
    """What a text names."""

    NOTHING = "nothing"
    CHEST = "chest"
    OTHER = "other"


_CHEST = frozenset(
    words_of(
        """CHEST CXR THORAX LUNG LUNGS TORAX TORACE TORAKS TORAS POUMON POUMONS PULMON PULMONES PULMAO
        PULMOES POLMONE POLMONI LUNGE LUNGEN LONGEN LUNGOR LUNGA KEUHKOT KEUHKO RINTAKEHA
        BRUSTKORB BORSTKAS PLUCA PLUC HRUDNIK PLICE MELLKAS AKCIGER GOGUS ΘΩΡΑΚΑΣ ΘΩΡΑΚΟΣ ТОРАКС
        ОГК ОГП"""
    )
)
# Found inside words: compounds, inflected languages, scripts without spaces.
_CHEST_PARTS = (
    "RONTGENTHORAX",
    "THORAXAUFN",
    "THORAXRONTGEN",
    "RXTORAX",
    "ГРУДН",
    "ЛЕГКИ",
    "胸",
    "肺",
    "흉부",
    "가슴",
)
_AROUND_CHEST = frozenset(
    words_of(
        """PA AP LAT LATERAL LL RL FRONTAL VIEW VIEWS V VW PORTABLE PORT ERECT SUPINE UPRIGHT INFANT CHILD
        PED PEDS BABY NEONATE ADULT ROUTINE GENERAL GRID NON NO WITH SINGLE BEDSIDE MOBILE XRAY XR
        X RAY RX DX CR DR AND OR THE OF LEFT RIGHT R L S"""
    )
)
_OTHER = frozenset(
    words_of(
        """ABD ADRENAL ANKLE ANKLES ARM ARMS AXILLA BACK BASSIN BAUCH BECKEN BEIN BEKKEN BACIA BACINO BLADDER
        BODY BOWEL BRACCIO BRACO BRAIN BRAZO BREAST BREASTS BUIK BUTTOCK BWS CALF CODO COLLO COLON
        COLONNE COLONNA COLUMNA COLUNA COSTE COSTELA COSTELAS COSTILLA COSTILLAS COTES COU COUDE
        CRANE CSPINE CTSPINE CUELLO DEDO DEDOS DENT DENTI DENTE DENTES DENTS DIENTE DIENTES DITA
        DITO DIZ DOIGT EAR ELBOW ELBOWS ELLEBOOG ENKEL EPAULE EYE FEET FERSE FOOT FUSS GAMBA GENOU
        GIRDLE GOMITO HALS HAND HANDS HEAD HEADNECK HEEL HEUP HIP HIPS HUFTE HUEFTE HWS IAC JAMBE
        JAW JOELHO JOINT KAFA KALCA KEHLKOPF KIDNEY KIDNEYS KIEFER KNEE KNEES KNIE KOLANO KUB LEG
        LEGS LIMB LIVER LSPINE LSSPINE LWS MANO MANOS MAO MAOS MOUTH MUNECA NECK NECKCHEST
        NECKCHESTABDOMEN NECKCHESTABDPELV NOSE OMBRO HOMBRO OMUZ OMURGA OPG PERNA PESCOCO PIED
        PIEDE PIERNA POIGNET POLS POLSO PROSTATE PUNHO QUADRIL RENAL RIB RIBS RIBBEN RIBCAGE RIPPE
        RIPPEN RODILLA SHIN SINUS SINUSES SKULL SPALLA SPINE SSPINE STOMACH STOPA TANDEN TEETH
        THIGH THUMB THYROID TLSPINE TMJ TOBILLO TOE TOES TONGUE TOOTH TRUNK TSPINE URETER VOET
        WHOLE WHOLEBODY WRIST WRISTS ZAHN ZAHNE ZAEHNE ZEHE ZEHEN ANCA CAVIGLIA CHEVILLE CADERA
        CUISSE EXTREMITY EXTREMETY ABDOMEN ABDOMENPELVIS CHESTABDOMEN CHESTABDPELVIS PELVIS FEMUR
        TIBIA FIBULA HUMERUS RADIUS ULNA FOREARM CALCANEUS PATELLA CLAVICLE SCAPULA STERNUM SACRUM
        COCCYX MANDIBLE MAXILLA ORBIT ZYGOMA SHOULDER SHOULDERS FINGER FINGERS LUMBAR CERVICAL
        UNDERARM UNTERARM OBERARM"""
    )
)
_OTHER_PARTS = (
    *(
        "ABDOM",
        "ADDOM",
        "SPINE",
        "PELVI",
        "PELVE",
        "CRANI",
        "SCHADEL",
        "SCHAEDEL",
        "SCHEDEL",
        "KNEE",
        "SHOULDER",
    ),
    *("SCHULTER", "SCHOUDER", "ELLENBO", "WIRBEL", "WERVEL", "RACHI", "VERTEBR", "FEMUR", "TIBIA", "HUMER"),
    *("FOREARM", "ANTEBRA", "AVANTBRA", "CALCANE", "PATELLA", "CLAVIC", "SCAPUL", "STERNU", "LUMBA", "LOMBA"),
    *(
        "CERVIC",
        "SACR",
        "COCCY",
        "EXTREM",
        "DENTAL",
        "PANORAM",
        "MANDIB",
        "MAXILL",
        "ZYGOM",
        "MAMMO",
        "MAMMA",
    ),
    *(
        "GELENK",
        "SCHENKEL",
        "GINOCCHI",
        "TORNOZEL",
        "COTOVEL",
        "KREGOSL",
        "CZASZK",
        "MIEDNIC",
        "BRZU",
        "KOLAN",
    ),
    *("КОЛЕН", "ПОЗВОН", "ЧЕРЕП", "ЖИВОТ", "БРЮШ", "ПЛЕЧ", "ЛОКТ", "СТОП", "КИСТ", "ЗУБ", "ТАЗ"),
    *(
        "腹",
        "膝",
        "手",
        "足",
        "脊",
        "椎",
        "骨",
        "頭",
        "头",
        "肩",
        "肘",
        "腕",
        "踝",
        "髋",
        "股",
        "歯",
        "牙",
        "복부",
        "무릎",
        "척추",
    ),
)
# Terms of PS3.16 annex L for parts within the chest: they say neither that it is one nor that it is not.
_WITHIN_CHEST = frozenset(
    words_of("AORTA BRONCHUS ESOPHAGUS HEART MEDIASTINUM THYMUS TRACHEA CORONARYARTERY")
)


def part_in(text: str) -> Part:
    """Return what a text names: the chest if it has a word for it and no word of another part.

    Examples
    --------
    >>> part_in("NON GRID CHEST"), part_in("Thorax PA"), part_in("Chest/Abdomen"), part_in("PORTABLE")
    (<Part.CHEST: 'chest'>, <Part.CHEST: 'chest'>, <Part.OTHER: 'other'>, <Part.NOTHING: 'nothing'>)
    """
    words = [part for word in words_of(text) for part in _pieces(word)]
    if not _OTHER.isdisjoint(words) or contains(words, _OTHER_PARTS):
        return Part.OTHER
    if not _CHEST.isdisjoint(words) or contains(words, _CHEST_PARTS):
        return Part.CHEST
    return Part.NOTHING


def quotable(text: str) -> str:
    """Return a text's words if all are known terms, else an empty text: other text may name a person."""
    words = words_of(text)
    known = (_CHEST | _AROUND_CHEST | _OTHER | _WITHIN_CHEST).issuperset
    return " ".join(words) if known(part for word in words for part in _pieces(word)) else ""


def _pieces(word: str) -> tuple[str, ...]:
    """Split a word that begins with a chest word and ends with another known word: CHESTPA, THORAXAP."""
    for chest in ("CHEST", "THORAX", "TORAX"):
        rest = word.removeprefix(chest)
        if rest != word and rest in _AROUND_CHEST | _OTHER:
            return chest, rest
    return (word,)
